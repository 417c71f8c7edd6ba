/** Exit codes. */
export const exit = { done: 0, no: 1, usage: 2, noServer: 3, interrupted: 130 } as const

/** Ctrl-C. */
export class Stopped extends Error {}
