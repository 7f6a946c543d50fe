// A library that has nothing to do with engines.
extern "C" int stranger() { return 1; }
