"""Pages and figures. Depends on core alone: it draws whatever geometry the players have."""
