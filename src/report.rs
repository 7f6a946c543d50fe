//! result.json, the console summary, and explanations of invalid results.
