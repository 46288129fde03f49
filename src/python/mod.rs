//! The binding tree: the module `graphbit._graphbit`, declarations only.
