"""The filter process around the ext_proc server: control, admin HTTP, logs, workers. Wired by `filters.main`."""
