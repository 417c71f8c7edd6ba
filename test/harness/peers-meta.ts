/** What peers.ts tells reporter.ts about a suite; apart, since the reporter runs outside of the tests. */
declare module '@vitest/runner' {
  interface TaskMeta {
    /** Why the suite did not run. */
    leftOut?: string
  }
}

export type {}
