import { defineConfig } from 'vitest/config'
import { SummaryReporter } from './test/harness/reporter.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/build.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 3,
    reporters: ['default', new SummaryReporter()],
  },
})
