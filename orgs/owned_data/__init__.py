"""Everything that an organization owns, as one archive to take along."""
