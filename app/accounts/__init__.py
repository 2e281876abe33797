"""Who is at the browser: admins and researchers with a password, and the sessions of everybody."""
