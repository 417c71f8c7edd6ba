/** What a story costs a server's process in memory. */
import { existsSync, readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { Server } from './server.ts'

export const MiB = 1_048_576

/** The most that the server's process has ever had in memory, in bytes; 0 where the system does not tell. */
export function peak({ pid }: Server): number {
  const status = `/proc/${pid}/status`
  if (!existsSync(status)) return 0
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8'))?.[1] ?? 0) * 1_024
}

/** Runs a story and looks at how much higher the peak is behind it. */
export async function costsAtMost(server: Server, bytes: number, story: () => Promise<void>): Promise<void> {
  const first = peak(server)
  await story()
  expect(peak(server) - first).toBeLessThan(bytes)
}
