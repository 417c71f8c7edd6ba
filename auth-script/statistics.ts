/** What has been asked and how it went: for SIGUSR2, and in Prometheus' text format. */
import type { Outcome } from './outcome.ts'

/** Upper bounds in seconds. */
const buckets = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

interface Series {
  readonly op: string
  readonly outcome: Outcome['kind']
  count: number
  seconds: number
  /** Not cumulative; the last one is everything longer. */
  readonly within: number[]
}

/** How many there are now, by name. */
type Gauges = () => Readonly<Record<string, number>>

export class Statistics {
  readonly #series = new Map<string, Series>()
  readonly #events = new Map<string, number>()
  readonly #gauges: Gauges[] = []
  readonly #started = Date.now()
  #last = 0

  /** The number of a new request, which names it in the log. */
  next(): number {
    return ++this.#last
  }

  /** `op` is one of the known operations, or '?'. */
  record(op: string, outcome: Outcome['kind'], ms: number): void {
    const name = `${op} ${outcome}`
    let series = this.#series.get(name)
    if (series === undefined) {
      series = { op, outcome, count: 0, seconds: 0, within: new Array<number>(buckets.length + 1).fill(0) }
      this.#series.set(name, series)
    }
    const seconds = ms / 1000
    series.count++
    series.seconds += seconds
    let bucket = 0
    while (bucket < buckets.length && seconds > (buckets[bucket] ?? 0)) bucket++
    series.within[bucket] = (series.within[bucket] ?? 0) + 1
  }

  /** Counts something else that happened; names are words with underscores. */
  count(event: string): void {
    this.#events.set(event, (this.#events.get(event) ?? 0) + 1)
  }

  gauges(ask: Gauges): void {
    this.#gauges.push(ask)
  }

  summary(): Record<string, unknown> {
    const requests = [...this.#series.values()].map(({ op, outcome, count }) => [`${op} ${outcome}`, count])
    return {
      requests: Object.fromEntries(requests),
      ...Object.fromEntries(this.#events),
      ...this.#now(),
      seconds: Math.round((Date.now() - this.#started) / 1000),
    }
  }

  /** https://prometheus.io/docs/instrumenting/exposition_formats/ ; `process` is a label for one of several processes. */
  prometheus(process?: number): string {
    const lines: string[] = []
    const labels = (own: Readonly<Record<string, string>>) => {
      const all = process === undefined ? own : { ...own, process: String(process) }
      const text = Object.entries(all).map(([name, value]) => `${name}="${value}"`)
      return text.length === 0 ? '' : `{${text.join(',')}}`
    }
    const family = (name: string, type: string, help: string) =>
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)

    const duration = 'gatehouse_extauth_request_duration_seconds'
    family(duration, 'histogram', 'Time from the arrival of a request to its answer.')
    for (const { op, outcome, count, seconds, within } of this.#series.values()) {
      let sum = 0
      for (const [index, bound] of [...buckets, '+Inf'].entries()) {
        sum += within[index] ?? 0
        lines.push(`${duration}_bucket${labels({ op, outcome, le: String(bound) })} ${sum}`)
      }
      lines.push(`${duration}_sum${labels({ op, outcome })} ${seconds}`)
      lines.push(`${duration}_count${labels({ op, outcome })} ${count}`)
    }
    for (const [event, count] of this.#events) {
      const name = `gatehouse_extauth_${event}_total`
      family(name, 'counter', `Number of ${event.replaceAll('_', ' ')}.`)
      lines.push(`${name}${labels({})} ${count}`)
    }
    for (const [gauge, value] of Object.entries(this.#now())) {
      const name = `gatehouse_extauth_${gauge}`
      family(name, 'gauge', `Number of ${gauge.replaceAll('_', ' ')} now.`)
      lines.push(`${name}${labels({})} ${value}`)
    }
    family('gatehouse_extauth_start_time_seconds', 'gauge', 'Unix time of the start.')
    lines.push(`gatehouse_extauth_start_time_seconds${labels({})} ${this.#started / 1000}`)
    return `${lines.join('\n')}\n`
  }

  #now(): Record<string, number> {
    return Object.assign({}, ...this.#gauges.map((ask) => ask())) as Record<string, number>
  }
}
