/** The option `iqdisc` of modules that answer IQs. */
import { z } from 'zod'
import { count } from '../config/fields.ts'
import type { IqDiscipline } from './gen-iq-handler.ts'

export function iqdisc(usual: IqDiscipline = 'no_queue') {
  return z
    .union([
      z.enum(['no_queue', 'one_queue', 'parallel']),
      z.strictObject({ queues: count(1, 1_000).describe('how many') }),
    ])
    .default(usual)
    .describe('how requests are queued: no_queue, one_queue, parallel, or {queues: N} by sender')
}
