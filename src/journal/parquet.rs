//! Records of one kind as a Parquet file that pandas and polars read with proper types.
//!
//! | value | Parquet type |
//! |---|---|
//! | time | INT64, TIMESTAMP(nanoseconds, UTC); "not known" is null |
//! | price, quantity, money | INT64, DECIMAL(18, 8): exact; or DOUBLE on request |
//! | sequence, count, number | INT64 |
//! | feature, probability | DOUBLE |
//! | symbol, side, flags, names, order ids | BYTE_ARRAY, STRING; an empty one is null |

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::JournalError;
use super::fields::{Value, payload_fields};
use super::select::{input_of, side_name};
use crate::core::{Event, Nanos};

/// Rows that are held before they are written.
const ROWS: usize = 1 << 17;
/// Places behind the point of a price, a quantity or money.
const SCALE: i32 = 8;
/// Digits that an INT64 decimal may have.
const PRECISION: i32 = 18;

/// One column's values since the last row group; `None` is null.
enum Column {
    Whole(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Text(Vec<Option<ByteArray>>),
}

/// Writes records of one kind.
pub struct ParquetTable {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    columns: Vec<Column>,
    rows: usize,
}

impl ParquetTable {
    /// A file for records like `sample`; `floats` asks for DOUBLE instead of exact decimals.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path, sample: &Event, symbol: &str, floats: bool) -> Result<Self, JournalError> {
        let file = File::create(path).map_err(JournalError::io("create", path))?;
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (name, value) in row(sample, symbol) {
            let (physical, logical) = match (&value, floats) {
                (Value::Time(_), _) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
                (Value::Decimal(_), false) => (Physical::INT64, Some(LogicalType::decimal(SCALE, PRECISION))),
                (Value::Decimal(_), true) | (Value::Float(_), _) => (Physical::DOUBLE, None),
                (Value::Count(_) | Value::Number(_), _) => (Physical::INT64, None),
                (Value::Text(_), _) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            columns.push(match physical {
                Physical::INT64 => Column::Whole(Vec::new()),
                Physical::DOUBLE => Column::Float(Vec::new()),
                _ => Column::Text(Vec::new()),
            });
            let decimal = matches!(value, Value::Decimal(_)) && !floats;
            let mut field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical);
            if decimal {
                field = field.with_precision(PRECISION).with_scale(SCALE);
            }
            fields.push(Arc::new(field.build().map_err(|error| failed(path, &error))?));
        }
        let schema = Type::group_type_builder("record").with_fields(fields).build();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let schema = Arc::new(schema.map_err(|error| failed(path, &error))?);
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties));
        let writer = writer.map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), writer, columns, rows: 0 })
    }

    /// Adds a record of the sample's kind.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, event: &Event, symbol: &str) -> Result<(), JournalError> {
        for ((_, value), column) in row(event, symbol).into_iter().zip(&mut self.columns) {
            match (column, value) {
                (Column::Whole(values), Value::Time(time)) => {
                    values.push((time != Nanos::NONE).then_some(time.0 as i64));
                }
                (Column::Whole(values), Value::Decimal(units) | Value::Number(units)) => values.push(Some(units)),
                (Column::Whole(values), Value::Count(count)) => values.push(Some(count as i64)),
                (Column::Float(values), Value::Float(float)) => values.push(Some(float)),
                (Column::Float(values), Value::Decimal(units)) => values.push(Some(units as f64 / 1e8)),
                (Column::Text(values), Value::Text(text)) => {
                    values.push((!text.is_empty()).then(|| ByteArray::from(text.into_bytes())));
                }
                // A kind's fields have the same types in every record (see `fields`).
                (Column::Whole(values), _) => values.push(None),
                (Column::Float(values), _) => values.push(None),
                (Column::Text(values), _) => values.push(None),
            }
        }
        self.rows += 1;
        if self.rows == ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let path = &self.path;
        let outcome = (|| -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            for column in &mut self.columns {
                let Some(mut place) = group.next_column()? else { break };
                match column {
                    Column::Whole(values) => {
                        let (levels, present) = split(values);
                        place.typed::<Int64Type>().write_batch(&present, Some(&levels), None)?;
                    }
                    Column::Float(values) => {
                        let (levels, present) = split(values);
                        place.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
                    }
                    Column::Text(values) => {
                        let (levels, present) = split(values);
                        place.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
                    }
                }
                place.close()?;
            }
            group.close()?;
            Ok(())
        })();
        self.rows = 0;
        outcome.map_err(|error| failed(path, &error))
    }

    /// Writes what is held and ends the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(mut self) -> Result<(), JournalError> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer.close().map(drop).map_err(|error| failed(&self.path, &error))
    }
}

/// Which rows are not null, and those that are not; empties the column.
fn split<T>(values: &mut Vec<Option<T>>) -> (Vec<i16>, Vec<T>) {
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (levels, values.drain(..).flatten().collect())
}

/// A record's columns, those of every kind first.
fn row(event: &Event, symbol: &str) -> Vec<(&'static str, Value)> {
    let mut row = vec![("sequence", Value::Count(event.sequence))];
    if event.kind.is_input() {
        row.push(("venue_time", Value::Time(event.venue_ns)));
    } else {
        row.push(("cause", Value::Count(input_of(event))));
    }
    row.push(("local_time", Value::Time(event.local_ns)));
    row.push(("symbol", Value::Text(symbol.to_owned())));
    row.push(("side", Value::Text(side_name(event).to_owned())));
    row.push(("flags", Value::Text(format!("{:?}", event.flags))));
    row.extend(payload_fields(event));
    row
}

fn failed(path: &Path, error: &ParquetError) -> JournalError {
    JournalError::Io { action: "write", path: path.to_owned(), source: std::io::Error::other(error.to_string()) }
}
