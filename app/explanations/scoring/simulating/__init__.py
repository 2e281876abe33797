"""What simulators that are asked as chats are told, shown and asked: wording and layout, no model and no answer."""
