// Imported first: the SDK's loggers take the console as it is when they are made, and tell of each request.

for (const method of ["trace", "debug", "log", "info", "warn", "error"]) {
    console[method] = () => {};
}
