#!/usr/bin/env python3
"""Reads a pawl journal with numpy: python3 read_journal.py SESSION [input|output]. Format: docs/journal.md."""
import glob, sys
import numpy as np

RECORD = np.dtype([("sequence", "<u8"), ("crc", "<u4"), ("instrument", "<u2"), ("kind", "u1"), ("flags", "u1"),
                   ("venue_ns", "<u8"), ("local_ns", "<u8"), ("payload", "<u8", 4)])
TABLE = np.arange(256, dtype=np.uint32)
for _ in range(8):
    TABLE = np.where(TABLE & 1, (TABLE >> 1) ^ np.uint32(0x82F63B78), TABLE >> 1)

def crc32c(rows):
    """CRC-32C of each row of bytes."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T.astype(np.uint32):
        crc = (crc >> 8) ^ TABLE[(crc ^ column) & 0xFF]
    return ~crc

def read(session, stream="input"):
    """Every good record of a stream as a numpy structured array, across its segments; .zst needs `zstandard`."""
    segments, expected = [], 1
    for path in sorted(glob.glob(f"{session}/{stream}-*.seg*")):
        content = open(path, "rb").read()
        data = np.frombuffer(__import__("zstandard").decompress(content) if path.endswith("zst") else content, np.uint8)
        assert bytes(data[:8]) == b"pawlseg1" and crc32c(data[None, :44])[0] == data[44:48].view("<u4")[0], path
        if data[24:32].view("<u8")[0] != expected:
            continue  # prepared, and nothing was written to it; or compressed, and the plain one was not yet removed
        rows = data[4096 : len(data) - len(data) % 64].reshape(-1, 64)
        records = np.ascontiguousarray(rows).view(RECORD).ravel()
        good = records["sequence"] == np.arange(expected, expected + len(records), dtype=np.uint64)
        good &= records["crc"] == crc32c(np.hstack([rows[:, 0:8], rows[:, 16:64], rows[:, 12:16]]))
        segments.append(records[: len(good) if good.all() else good.argmin()])
        expected += len(segments[-1])
    return np.concatenate(segments)

if __name__ == "__main__":
    for stream in sys.argv[2:] or ["input", "output"]:
        records = read(sys.argv[1], stream)
        kinds = dict(zip(*(values.tolist() for values in np.unique(records["kind"], return_counts=True))))
        print(stream, len(records), kinds, *(int(records[name].sum(dtype=np.uint64)) for name in ("local_ns", "payload")))
