"""What other tools recorded and said: their files read into the study data, and the study data written as theirs."""
