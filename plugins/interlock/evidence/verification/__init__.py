"""The auditor's side: what a bucket or an archive proves to somebody who trusts nobody who wrote it.

Pure: what is read comes through `source.Source`, trust comes only from the keys that the verifier brings, and
the time is passed in. `verify.verify` is the way in; `report.Report` is what comes out.
"""
