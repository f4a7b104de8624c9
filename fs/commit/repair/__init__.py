"""Gets a workstation off a history that the bucket has lost or never had.

First comes a look that changes nothing (findings.py, verdicts.py). Then there are two ways: the
entries that the bucket has lost or spoiled and this node has kept are put back (put_back.py); or
this workstation starts again from the bucket (start_again.py).
"""
