/**
 * IQ handlers by component, host and namespace (RFC 6120 §8.2.3: exactly one answer to every request), and the queues that
 * they run in. Here, and only here, what a handler returns or throws becomes a reply.
 */
import type { Logger } from '../log.ts'
import { declared } from '../xml/declared.ts'
import { attr, Element, removeCdata } from '../xml/element.ts'
import { StanzaError } from '../xmpp/errors.ts'
import type { Jid } from '../xmpp/jid.ts'
import { errorReply, resultReply, type Stanza } from '../xmpp/stanza.ts'
import { answerTo } from './answer-to.ts'
import { shareOf } from './share.ts'
import { within } from './within.ts'

/** `local`: packets to the host; `sm`: packets to the bare JIDs of its accounts. */
export type IqComponent = 'local' | 'sm'

/**
 * no_queue: in the caller, whose next stanza waits. one_queue: one at a time, in order of arrival. {queues}: that many
 * queues, chosen by sender. parallel: each on its own, at most 100 at once.
 */
export type IqDiscipline = 'no_queue' | 'one_queue' | 'parallel' | { readonly queues: number }

export interface IqRequest {
  readonly stanza: Stanza
  readonly from: Jid
  readonly to: Jid
  readonly type: 'get' | 'set'
  readonly id: string
  readonly ns: string
  readonly lang: string
  /** The only child element. */
  readonly child: Element
}

/** What a handler returns to send nothing at all: it answers by itself, later. */
export const ignore = Symbol('ignore')

/** An element is the result's payload, nothing an empty result, a thrown StanzaError the error reply. */
export type IqHandler = (
  request: IqRequest,
) => Element | typeof ignore | void | Promise<Element | typeof ignore | void>

const handlerTimeout = 30_000
const maxParallel = 100
const maxQueue = 1_000

type Reply = (stanza: Stanza) => void | Promise<void>

interface Job {
  readonly request: IqRequest
  readonly reply: Reply
}

/** Some jobs at a time, the others waiting in order. */
class Queue {
  readonly #width: number
  readonly #work: (job: Job) => void | Promise<void>
  readonly #failed: (error: unknown) => void
  readonly #waiting: Job[] = []
  #running = 0

  constructor(width: number, work: (job: Job) => void | Promise<void>, failed: (error: unknown) => void) {
    this.#width = width
    this.#work = work
    this.#failed = failed
  }

  /** False when too many wait already. */
  add(job: Job): boolean {
    if (this.#running >= this.#width) {
      if (this.#waiting.length >= maxQueue) return false
      this.#waiting.push(job)
      return true
    }
    void this.#run(job)
    return true
  }

  async #run(job: Job): Promise<void> {
    this.#running++
    for (let next: Job | undefined = job; next; next = this.#waiting.shift()) {
      try {
        await this.#work(next)
      } catch (error) {
        this.#failed(error)
      }
    }
    this.#running--
  }

  /** Takes out what has not begun. */
  drain(): readonly Job[] {
    return this.#waiting.splice(0)
  }
}

class Handler {
  readonly #queues: readonly Queue[]
  readonly #run: (job: Job) => void | Promise<void>

  /** @param failed told when an answer could not be sent: nobody waits for a queue's work who could be told */
  constructor(
    discipline: IqDiscipline,
    run: (job: Job) => void | Promise<void>,
    failed: (error: unknown) => void,
  ) {
    this.#run = run
    const queue = (width: number): Queue => new Queue(width, run, failed)
    if (discipline === 'no_queue') this.#queues = []
    else if (discipline === 'one_queue') this.#queues = [queue(1)]
    else if (discipline === 'parallel') this.#queues = [queue(maxParallel)]
    else this.#queues = Array.from({ length: Math.max(1, discipline.queues) }, () => queue(1))
  }

  handle(job: Job): void | Promise<void> {
    if (this.#queues.length === 0) return this.#run(job)
    const queue =
      this.#queues[this.#queues.length === 1 ? 0 : shareOf(job.request.from.text, this.#queues.length)]
    if (queue?.add(job)) return
    return refuse(job, new StanzaError('resource-constraint', 'too many requests are waiting'))
  }

  async stop(): Promise<void> {
    for (const queue of this.#queues) {
      for (const job of queue.drain()) await refuse(job, new StanzaError('service-unavailable'))
    }
  }
}

function refuse(job: Job, error: StanzaError): void | Promise<void> {
  const reply = errorReply(job.request.stanza, error)
  if (reply) return job.reply(reply)
}

export class IqHandlers {
  readonly #handlers = new Map<string, Handler>()
  readonly #log: Logger
  readonly #timeout: number

  constructor(log: Logger, timeout = handlerTimeout) {
    this.#log = log
    this.#timeout = timeout
  }

  /** Adding again replaces. Returns what takes the handler away: requests that wait then get service-unavailable. */
  add(
    component: IqComponent,
    host: string,
    namespace: string,
    handler: IqHandler,
    discipline: IqDiscipline = 'no_queue',
  ): () => Promise<void> {
    const key = keyOf(component, host, namespace)
    const entry = new Handler(
      discipline,
      (job) => this.#answer(handler, job),
      (err) => this.#log.error({ err, xmlns: namespace }, 'the answer to an IQ could not be sent'),
    )
    this.#handlers.set(key, entry)
    return () => {
      if (this.#handlers.get(key) === entry) this.#handlers.delete(key)
      return entry.stop()
    }
  }

  has(component: IqComponent, host: string, namespace: string): boolean {
    return this.#handlers.has(keyOf(component, host, namespace))
  }

  /**
   * Answers a get or set. A promise only when the caller shall wait (no_queue handlers that wait for something). Results and
   * errors never come here.
   */
  handle(component: IqComponent, host: string, stanza: Stanza, reply: Reply): void | Promise<void> {
    const children = removeCdata(stanza.element.children)
    const child = children[0]
    const refusal = (error: StanzaError): void | Promise<void> => {
      const answer = errorReply(stanza, error)
      if (answer) return reply(answer)
    }
    if (child === undefined || children.length > 1) {
      return refusal(new StanzaError('bad-request', 'a request has exactly one child element'))
    }
    const ns = child.ns || stanza.element.ns
    const handler = this.#handlers.get(keyOf(component, host, ns))
    if (!handler) return refusal(new StanzaError('service-unavailable'))
    const request: IqRequest = {
      stanza,
      from: stanza.from,
      to: stanza.to,
      type: stanza.type === 'set' ? 'set' : 'get',
      id: stanza.id,
      ns,
      lang: attr(stanza.element, 'xml:lang') ?? '',
      // it may be kept or sent on without the iq around it
      child: declared(child, stanza.element),
    }
    return handler.handle({ request, reply })
  }

  #answer(handler: IqHandler, job: Job): void | Promise<void> {
    let outcome: ReturnType<IqHandler>
    try {
      outcome = handler(job.request)
    } catch (error) {
      return this.#failed(job, error)
    }
    if (!(outcome instanceof Promise)) return this.#succeeded(job, outcome)
    return this.#wait(outcome, job)
  }

  /** A late answer is dropped: the error has been sent in its place. */
  async #wait(outcome: Promise<Element | typeof ignore | void>, job: Job): Promise<void> {
    let result: Awaited<ReturnType<IqHandler>>
    try {
      result = await within(this.#timeout, outcome)
    } catch (error) {
      return this.#failed(job, error)
    }
    return this.#succeeded(job, result)
  }

  #succeeded(job: Job, payload: Element | typeof ignore | void): void | Promise<void> {
    if (payload === ignore) return
    if (payload && !(payload instanceof Element)) {
      return this.#failed(job, new TypeError('an IQ handler returned what is no element'))
    }
    return job.reply(resultReply(job.request.stanza, payload ?? undefined))
  }

  #failed(job: Job, error: unknown): void | Promise<void> {
    if (error instanceof StanzaError) return refuse(job, error)
    this.#log.error({ err: error, xmlns: job.request.ns }, 'an IQ handler failed')
    return refuse(job, answerTo(error))
  }
}

function keyOf(component: IqComponent, host: string, namespace: string): string {
  return `${component} ${host} ${namespace}`
}
