/** Requests that the server itself has sent and that wait for their answer (RFC 6120 §8.2.3). */
import type { Element } from '../xml/element.ts'
import { getChild, removeCdata } from '../xml/element.ts'
import { StanzaError, type StanzaErrorCondition, stanzaErrorConditions } from '../xmpp/errors.ts'
import { ns } from '../xmpp/namespaces.ts'
import type { Stanza } from '../xmpp/stanza.ts'

const answerTimeout = 32_000

interface Pending {
  readonly settle: (answer: Stanza) => void
}

export class PendingIqs {
  readonly #waiting = new Map<string, Pending>()
  readonly #timeout: number

  constructor(timeout = answerTimeout) {
    this.#timeout = timeout
  }

  /** Resolves with the result's element; rejects with the StanzaError of the answer, or remote-server-timeout. */
  wait(request: Stanza): Promise<Element> {
    const key = keyOf(request.to.text, request.from.text, request.id)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(key)
        reject(new StanzaError('remote-server-timeout', 'no answer in time'))
      }, this.#timeout).unref()
      this.#waiting.set(key, {
        settle: (answer) => {
          clearTimeout(timer)
          this.#waiting.delete(key)
          if (answer.type === 'result') resolve(answer.element)
          else reject(errorOf(answer.element))
        },
      })
    })
  }

  /** Takes an answer that somebody waits for: it comes from the address asked and goes to ours. */
  take(answer: Stanza): boolean {
    if (this.#waiting.size === 0) return false
    const pending = this.#waiting.get(keyOf(answer.from.text, answer.to.text, answer.id))
    pending?.settle(answer)
    return pending !== undefined
  }
}

function keyOf(asked: string, asker: string, id: string): string {
  return `${asked}\n${asker}\n${id}`
}

function errorOf(element: Element): StanzaError {
  const error = getChild(element, 'error', element.ns)
  for (const child of error ? removeCdata(error.children) : []) {
    const condition = child.name as StanzaErrorCondition
    if (child.ns === ns.stanzas && stanzaErrorConditions.includes(condition))
      return new StanzaError(condition)
  }
  return new StanzaError('undefined-condition')
}
