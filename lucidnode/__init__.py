"""Lucidnode: one encrypted drive in the cloud that feels local.

Three folders are three planes: `lucidnode.node` moves ciphertext, `lucidnode.discovery` knows who
is on the LAN and who owns what, `lucidnode.fs` is the only place that can decrypt. The command line
in `lucidnode.cli` sits above them and holds no logic.
"""
