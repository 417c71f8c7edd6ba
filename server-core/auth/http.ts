/** Authentication by somebody's web application: the JSON contract as POST requests. */
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { z } from 'zod'
import { count } from '../config/fields.ts'
import { BackendUnavailable } from './backend.ts'
import {
  type JsonAnswer,
  JsonBackend,
  type JsonCarrier,
  type JsonRequest,
  maxAnswerBytes,
  readAnswer,
} from './json-contract.ts'

export const httpOptions = {
  url: z.url({ protocol: /^https?$/ }).describe('where requests are posted'),
  token_file: z.string().optional().describe('file with a bearer token'),
  cacertfile: z
    .string()
    .optional()
    .describe('PEM file with the authorities to trust instead of the usual ones'),
  connections: count(1, 256).default(8).describe('requests at the same time'),
}

export type HttpOptions = z.output<z.ZodObject<typeof httpOptions>>

/** Throws an Error naming the file that cannot be read. */
export function httpBackend(options: HttpOptions): JsonBackend {
  return new JsonBackend(new HttpCarrier(options))
}

class HttpCarrier implements JsonCarrier {
  readonly #url: URL
  readonly #options: HttpOptions
  readonly #agent: HttpAgent
  /** Opens a connection for each request. */
  readonly #fresh: HttpAgent

  constructor(options: HttpOptions) {
    this.#url = new URL(options.url)
    this.#options = options
    const { cacertfile, connections: maxSockets } = options
    const isTls = this.#url.protocol === 'https:'
    const tls = cacertfile === undefined ? {} : { ca: readFileSync(cacertfile) }
    const agent = (keepAlive: boolean) => {
      const pool = { keepAlive, maxSockets, scheduling: 'lifo' as const }
      return isTls ? new HttpsAgent({ ...pool, ...tls }) : new HttpAgent(pool)
    }
    this.#agent = agent(true)
    this.#fresh = agent(false)
    // said now and not at the first login
    this.#token()
  }

  /** Read each time: a token that was changed holds at once. */
  #token(): string | undefined {
    const file = this.#options.token_file
    return file === undefined ? undefined : readFileSync(file, 'utf8').trim()
  }

  async ask(request: JsonRequest, signal: AbortSignal): Promise<JsonAnswer> {
    const body = JSON.stringify(request)
    const token = this.#token()
    const response = isQuestion(request)
      ? await this.#question(body, token, signal)
      : // A connection that was kept may be closed by the time that a change is sent on it, and it must not be sent twice.
        await this.#post(body, token, this.#fresh, signal)
    const text = await read(response)
    // redirects too: nobody sends passwords where a header says
    if (response.statusCode !== 200)
      throw new BackendUnavailable(`it answered with status ${response.statusCode}`)
    return readAnswer(text)
  }

  /** Applications close connections that nobody uses, often in the moment in which somebody does: then it is asked again. */
  async #question(body: string, token: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await this.#post(body, token, this.#agent, signal)
    } catch (error) {
      if (error instanceof ConnectionWasClosed) return this.#post(body, token, this.#fresh, signal)
      throw error
    }
  }

  #post(
    body: string,
    token: string | undefined,
    agent: HttpAgent,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const request = send(
        this.#url,
        {
          method: 'POST',
          agent,
          signal,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            accept: 'application/json',
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
        },
        resolve,
      )
      request.once('error', (error) => {
        const says = `${this.#url.host} cannot be reached: ${error.message}`
        if (signal.aborted) reject(new BackendUnavailable('no answer in time'))
        else reject(request.reusedSocket ? new ConnectionWasClosed(says) : new BackendUnavailable(says))
      })
      request.end(body)
    })
  }

  close(): Promise<void> {
    this.#agent.destroy()
    this.#fresh.destroy()
    return Promise.resolve()
  }
}

/** Before anything was answered, on a connection that had been kept. */
class ConnectionWasClosed extends BackendUnavailable {}

function isQuestion({ op }: JsonRequest): boolean {
  return op === 'auth' || op === 'isuser'
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxAnswerBytes) {
        response.destroy()
        throw new BackendUnavailable('the answer is too long')
      }
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof BackendUnavailable) throw error
    throw new BackendUnavailable('the answer broke off', { cause: error })
  }
  return Buffer.concat(chunks).toString('utf8')
}
