"""One HTTP exchange within one deadline, also through a proxy."""
