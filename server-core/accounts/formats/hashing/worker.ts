/** The thread's side of pool.ts, a program of its own: one job in, one text out. */
import { parentPort } from 'node:worker_threads'
import { type Job, run } from './algorithms.ts'

parentPort?.on('message', (job: Job) => parentPort?.postMessage(run(job)))
