// Imported first: the SDK's loggers capture the console when they are created, and log each
// request.

for (const method of ["trace", "debug", "log", "info", "warn", "error"]) {
    console[method] = () => {};
}
