"""`python -m app`: the command `neuronjury` where its script is not on PATH."""

from app.cli import main

main()
