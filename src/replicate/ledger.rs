//! replicate/ledger
