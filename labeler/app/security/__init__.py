"""Who gets in: hosts, tokens, tickets, logins, and the guards of every request."""
