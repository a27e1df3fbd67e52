"""Kinds of data (modalities), one package each, behind the interface in `base`.

Importing this package or one of a modality imports nothing else: the process that reads an upload
must start fast.
"""
