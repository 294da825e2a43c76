//! What a child is given when it is started: words of the form `key=value` or `key` as its arguments.
