"""Implementations of the scan behind one face, :class:`~.backend.Scan`; one file each."""
