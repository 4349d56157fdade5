"""Implementations of the scan with one interface, :class:`~.backend.Scan`; one file each."""
