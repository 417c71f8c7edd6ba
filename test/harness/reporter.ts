/** The end of every run: which suites were left out because a peer is missing, and the sum in one line. */
import { writeFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'
import './peers-meta.ts'

export class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const sum = { passed: 0, failed: errors.length, skipped: 0 }
    const leftOut: string[] = []
    for (const module of modules) {
      // A file that could not be loaded, or whose hooks failed, counts even where no test of it did.
      sum.failed += module.errors().length
      for (const suite of module.children.allSuites()) {
        sum.failed += suite.errors().length
        const why = suite.meta().leftOut
        if (why !== undefined) leftOut.push(`${suite.fullName}: ${why}`)
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') sum.passed++
        else if (state === 'failed') sum.failed++
        else sum.skipped++
      }
    }
    for (const line of leftOut) process.stdout.write(`left out: ${line}\n`)
    const text = `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`
    process.stdout.write(`${text}\n`)
    const file = process.env['GATEHOUSE_TEST_SUMMARY']
    if (file !== undefined && file !== '') writeFileSync(file, `${text}\n`)
  }
}
