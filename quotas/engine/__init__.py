"""The decision: may an organization use this much of a meter now, and the record that it did."""
