/** What the system says of processes: proc(5). */
import { readFileSync, writeFileSync } from 'node:fs'

function times(pid: number | 'self'): readonly number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // utime, stime, cutime and cstime, in ticks of 10 ms
  return fields.slice(11, 15).map((ticks) => Number(ticks) / 100)
}

/** CPU seconds of a process so far. */
export function cpuOf(pid: number): number {
  const [user = Number.NaN, system = Number.NaN] = times(pid)
  return user + system
}

/** CPU seconds of all children of ours that have ended, and of theirs. */
export function childrenCpu(): number {
  const [, , user = Number.NaN, system = Number.NaN] = times('self')
  return user + system
}

/** What it has in memory now. Throws when it has ended. */
export function residentMiB(pid: number | undefined): number {
  return statusMiB(pid, 'VmRSS')
}

/** The most that it has had in memory since `forgetPeak`; 0 when it has ended. */
export function peakMiB(pid: number | undefined): number {
  try {
    return statusMiB(pid, 'VmHWM') || 0
  } catch {
    return 0
  }
}

export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

function statusMiB(pid: number | undefined, name: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024
}
