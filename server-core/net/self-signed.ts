/**
 * A certificate for a host that has none. A thread makes it: what that takes would stay in a server's memory for ever, for
 * something that is done once in ten years.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { bundled } from '../bundled.ts'

/** A certificate and its key, as PEM. Rejects with the thread's error. */
export async function makeSelfSigned(host: string): Promise<string> {
  const thread = new Worker(bundled('self-signed-worker.js'), { workerData: host, execArgv: [] })
  const [pem] = await once(thread, 'message')
  await once(thread, 'exit')
  return String(pem)
}
