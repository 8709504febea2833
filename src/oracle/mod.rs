//! The third stage: the XGBoost model and the gate.
