"""What every page shares: templates, security headers, the request's session and visitor."""
