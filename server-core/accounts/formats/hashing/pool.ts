/**
 * Runs the synchronous algorithms in threads, so that the event loop never waits for a password. A job that nobody waits for
 * any more is ended with its thread. Threads start when they are first needed and leave after a quiet while.
 */
import { Worker } from 'node:worker_threads'
import { BackendUnavailable } from '../../../auth/backend.ts'
import { bundled } from '../../../bundled.ts'
import { derive } from '../../derivations.ts'
import type { AlgorithmInput, AlgorithmName, Job } from './algorithms.ts'

const program = bundled('hash-worker.js')

/** In milliseconds: a thread costs some 10 MB, starting one some 50 ms. */
const quietTime = 60_000

interface Waiting {
  readonly resolve: (text: string) => void
  readonly reject: (reason: Error) => void
}

class HashThread {
  readonly #worker = new Worker(program, { execArgv: [], env: {} })
  #waiting: Waiting | undefined
  #leaving: NodeJS.Timeout | undefined

  constructor() {
    this.#worker.on('message', (text: string) => this.#waiting?.resolve(text))
    this.#worker.on('error', (error) => this.#waiting?.reject(broken(error)))
    this.#worker.on('exit', () => {
      idle.delete(this)
      clearTimeout(this.#leaving)
      this.#waiting?.reject(broken())
    })
  }

  /** One job at a time. */
  async run(job: Job, signal: AbortSignal): Promise<string> {
    idle.delete(this)
    clearTimeout(this.#leaving)
    this.#worker.ref()
    const stop = () => this.#waiting?.reject(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    try {
      const text = await new Promise<string>((resolve, reject) => {
        this.#waiting = { resolve, reject }
        this.#worker.postMessage(job)
      })
      this.#rest()
      return text
    } catch (error) {
      await this.#worker.terminate()
      throw error
    } finally {
      this.#waiting = undefined
      signal.removeEventListener('abort', stop)
    }
  }

  #rest(): void {
    idle.add(this)
    this.#worker.unref()
    this.#leaving = setTimeout(() => {
      idle.delete(this)
      void this.#worker.terminate()
    }, quietTime)
    this.#leaving.unref()
  }
}

const idle = new Set<HashThread>()

/**
 * Waits for a place among the derivations, and runs the algorithm in a thread. Rejects with the signal's reason, or with
 * BackendUnavailable when there is no thread to be had.
 */
export function hashInThread<N extends AlgorithmName>(
  signal: AbortSignal,
  name: N,
  input: AlgorithmInput<N>,
): Promise<string> {
  return derive(signal, async () => {
    signal.throwIfAborted()
    const [thread = new HashThread()] = idle
    return thread.run({ name, input }, signal)
  })
}

function broken(cause?: unknown): BackendUnavailable {
  return new BackendUnavailable('the thread that checks passwords ended', { cause })
}
