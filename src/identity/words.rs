//! Words that names of guests are made of: kind, short, and easy to say.

pub(super) const ADJECTIVES: &[&str] = &[
    "Agile", "Amber", "Bold", "Brave", "Bright", "Calm", "Careful", "Cheerful", "Clever", "Cosy",
    "Curious", "Daring", "Eager", "Early", "Fair", "Fearless", "Gentle", "Glad", "Golden", "Happy",
    "Honest", "Humble", "Jolly", "Keen", "Kind", "Lively", "Lucky", "Mellow", "Merry", "Mindful",
    "Nimble", "Noble", "Patient", "Playful", "Polite", "Proud", "Quick", "Quiet", "Ready", "Royal",
    "Silver", "Sincere", "Smiling", "Snowy", "Steady", "Sunny", "Swift", "Tidy", "Trusty", "Vivid",
    "Warm", "Wise", "Witty", "Zesty",
];

pub(super) const ANIMALS: &[&str] = &[
    "Badger", "Beaver", "Bison", "Cheetah", "Condor", "Crane", "Cricket", "Curlew", "Deer",
    "Dolphin", "Dove", "Dragonfly", "Eagle", "Falcon", "Ferret", "Finch", "Firefly", "Fox",
    "Gazelle", "Gecko", "Hare", "Hawk", "Hedgehog", "Heron", "Ibex", "Jay", "Kestrel", "Kingfisher",
    "Koala", "Lark", "Lemur", "Lynx", "Magpie", "Marten", "Meerkat", "Mole", "Moose", "Newt",
    "Nightingale", "Ocelot", "Octopus", "Oriole", "Osprey", "Otter", "Owl", "Panda", "Pelican",
    "Penguin", "Puffin", "Quail", "Rabbit", "Raven", "Robin", "Salmon", "Seal", "Sparrow",
    "Squirrel", "Stork", "Swallow", "Swan", "Tern", "Thrush", "Tortoise", "Turtle", "Wagtail",
    "Walrus", "Weasel", "Whale", "Wombat", "Wren",
];
