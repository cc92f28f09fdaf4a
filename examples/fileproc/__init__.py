"""Files are downloaded, compressed and uploaded, through a server that fails on purpose.

    python -m examples.fileproc
    python -m examples.fileproc --files 40 --fail 0.5 --verbose

One schema says what may become of a file; each file has a machine of it. Read
`states` for what follows from what, with retries, errors and cancel, `work` for
what is done then; `client` and `server` are HTTP, `__main__` starts it all.
"""
