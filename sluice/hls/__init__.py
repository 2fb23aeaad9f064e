"""HLS: what playlists say, and how a live one grows; nothing here asks a store."""
