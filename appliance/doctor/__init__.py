"""`printpost doctor`: looks at everything that keeps paper from coming out, and says what to do about it."""
