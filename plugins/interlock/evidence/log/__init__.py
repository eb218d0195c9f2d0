"""The evidence log, pure: hashing, formats and the derivation of what is published from what is claimed.

Nothing here reads or writes; who does passes bytes in. Errors, all of them a `LogFormatError`:

    LogFormatError
    ├── ProofError       merkle: a proof does not lead to the root
    ├── TileError        tiles: not the path or the content of a tile
    ├── NoteError        note: not a signed note, or nobody known signed it
    │   └── UnknownSignersError
    ├── CheckpointError  checkpoint: a signed note, but not a head of this log
    ├── ClaimError       claim: not a claim
    ├── DeriveError      derive: tiles and root contradict each other
    ├── ReceiptError     receipt: not a receipt
    └── LayoutError      layout: no key of ours
"""
