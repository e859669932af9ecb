"""What records say when compared, as numbers: no words, no drawing."""
