// The OpenAI client: chat, completions, embeddings, responses, models.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import OpenAI from 'openai'
import { all, broken, contract, faults, models, notAKey, openai } from './gateway.mjs'

const client = openai()
const chat = { model: models.chat, messages: [{ role: 'user', content: 'Say hello.' }] }
const weather = {
    type: 'function',
    function: {
        name: contract.tool,
        description: 'The weather in a city.',
        parameters: { type: 'object', properties: { city: { type: 'string' } } },
    },
}
const choices = (chunks) => chunks.flatMap((chunk) => chunk.choices)
const text = (chunks) => choices(chunks).map((choice) => choice.delta.content ?? '').join('')

suite('chat', () => {
    test('whole', async () => {
        const answer = await client.chat.completions.create(chat)
        assert.equal(answer.object, 'chat.completion')
        assert.equal(answer.choices[0].message.role, 'assistant')
        assert.ok(answer.choices[0].message.content)
        assert.equal(answer.choices[0].finish_reason, 'stop')
        const { prompt_tokens, completion_tokens, total_tokens } = answer.usage
        assert.equal(total_tokens, prompt_tokens + completion_tokens)
        assert.ok(answer._request_id)
    })

    test('streamed, and the same as whole', async () => {
        const chunks = await all(client.chat.completions.create({ ...chat, stream: true }))
        const whole = await client.chat.completions.create(chat)
        assert.equal(text(chunks), whole.choices[0].message.content)
        const finished = choices(chunks).map((choice) => choice.finish_reason).filter(Boolean)
        assert.deepEqual(finished, ['stop'])
        assert.ok(!chunks.some((chunk) => chunk.usage), 'usage was not asked for')
    })

    test('streamed with usage', async () => {
        const stream_options = { include_usage: true }
        const chunks = await all(
            client.chat.completions.create({ ...chat, stream: true, stream_options }),
        )
        const counted = chunks.filter((chunk) => chunk.usage)
        assert.equal(counted.length, 1)
        assert.equal(counted[0], chunks.at(-1))
        assert.deepEqual(counted[0].choices, [])
        assert.ok(counted[0].usage.completion_tokens > 0)
    })

    test('stream helper', async () => {
        const final = await client.chat.completions.stream(chat).finalChatCompletion()
        assert.ok(final.choices[0].message.content)
    })

    test('tool call', async () => {
        const answer = await client.chat.completions.create({ ...chat, model: models.tool_caller, tools: [weather] })
        assert.equal(answer.choices[0].finish_reason, 'tool_calls')
        assert.equal(answer.choices[0].message.tool_calls[0].function.name, contract.tool)
    })

    test('tool call, streamed', async () => {
        const stream = client.chat.completions.stream({ ...chat, model: models.tool_caller, tools: [weather] })
        const final = await stream.finalChatCompletion()
        const call = final.choices[0].message.tool_calls[0]
        assert.equal(call.function.name, contract.tool)
        assert.equal(typeof JSON.parse(call.function.arguments), 'object')
    })
})

// The client hands out what it was asked to ask for.
const floats = (base64) => {
    const bytes = Buffer.from(base64, 'base64')
    return [0, 4, 8].map((at) => bytes.readFloatLE(at))
}

suite('completions and embeddings', () => {
    test('completion, whole', async () => {
        const answer = await client.completions.create({ model: models.completion, prompt: 'Hi' })
        assert.ok(answer.choices[0].text)
        assert.ok(answer.usage.total_tokens > 0)
    })

    test('completion, streamed', async () => {
        const chunks = await all(
            client.completions.create({ model: models.completion, prompt: 'Hi', stream: true }),
        )
        assert.ok(choices(chunks).map((choice) => choice.text).join(''))
    })

    for (const encoding_format of ['float', 'base64', undefined]) {
        test(`embeddings, ${encoding_format ?? 'default'}`, async () => {
            const answer = await client.embeddings.create({
                model: models.embedding,
                input: ['one', 'two'],
                ...(encoding_format && { encoding_format }),
            })
            assert.deepEqual(answer.data.map((item) => item.index), [0, 1])
            for (const { embedding } of answer.data) {
                const numbers = encoding_format === 'base64' ? floats(embedding) : embedding
                assert.deepEqual(numbers, [0.25, -0.5, 0.125])
            }
        })
    }
})

suite('responses', () => {
    test('input tokens', async () => {
        const input = 'Say hello.'
        for (const model of [models.responses, models.messages, models.gemini]) {
            const asked = client.responses.inputTokens.count({ model, input })
            const { data, response } = await asked.withResponse()
            const estimated = response.headers.get('x-penstock-estimated')
            assert.equal(estimated, model === models.responses ? null : 'true')
            assert.equal(data.object, 'response.input_tokens')
            assert.ok(data.input_tokens > 0)
        }
    })

    const ask = { model: models.responses, input: 'Say hello.' }

    test('whole', async () => {
        const answer = await client.responses.create(ask)
        assert.equal(answer.status, 'completed')
        assert.ok(answer.output_text)
        assert.ok(answer.usage.total_tokens > 0)
    })

    test('streamed', async () => {
        const events = await all(client.responses.create({ ...ask, stream: true }))
        assert.equal(events[0].type, 'response.created')
        assert.equal(events.at(-1).type, 'response.completed')
        const deltas = events.filter((event) => event.type === 'response.output_text.delta')
        const whole = await client.responses.create(ask)
        assert.equal(deltas.map((event) => event.delta).join(''), whole.output_text)
    })

    test('stream helper', async () => {
        const final = await client.responses.stream(ask).finalResponse()
        assert.equal(final.status, 'completed')
        assert.ok(final.output_text)
    })

    test('compact', async () => {
        const answer = await client.responses.compact({ model: models.responses, input: 'Talk.' })
        assert.equal(answer.object, 'response.compaction')
        assert.deepEqual(answer.output.map((item) => item.type), ['message', 'compaction'])
    })

    for (const fault of ['error_event', 'cut', 'reset', 'no_end']) {
        test(`one that breaks never looks complete: ${fault}`, async () => {
            const { seen, error } = await broken(() =>
                client.responses.create({ ...ask, model: faults[fault], stream: true }),
            )
            const kinds = seen.map((event) => event.type)
            assert.ok(!kinds.includes('response.completed'))
            assert.ok(error || kinds.includes('error') || kinds.includes('response.failed'))
        })
    }
})

suite('models', () => {
    test('list and get', async () => {
        const listed = (await all(client.models.list())).map((model) => model.id)
        assert.ok(listed.includes(models.chat) && listed.includes(models.embedding))
        const model = await client.models.retrieve(models.chat)
        assert.deepEqual([model.id, model.object], [models.chat, 'model'])
    })

    test('an unknown one', async () => {
        await assert.rejects(client.models.retrieve(models.unknown), OpenAI.NotFoundError)
    })
})

suite('base URLs', () => {
    for (const prefix of ['', '/v1', '/openai/v1', '/openai', '/api/v1', '/api']) {
        test(prefix || '(none)', async () => {
            const answer = await openai({ prefix }).chat.completions.create(chat)
            assert.ok(answer.choices[0].message.content)
        })
    }
})

suite('errors', () => {
    test('bad key', async () => {
        await assert.rejects(
            openai({ apiKey: notAKey }).chat.completions.create(chat),
            (error) =>
                error instanceof OpenAI.AuthenticationError &&
                error.code === 'invalid_api_key' &&
                !error.message.includes(notAKey),
        )
    })

    for (const stream of [false, true]) {
        test(`unknown model, ${stream ? 'streamed' : 'whole'}`, async () => {
            await assert.rejects(
                client.chat.completions.create({ ...chat, model: models.unknown, stream }),
                (error) =>
                    error instanceof OpenAI.NotFoundError && error.code === 'model_not_found',
            )
        })
    }

    test('rate limit', async () => {
        await assert.rejects(
            client.chat.completions.create({ ...chat, model: faults.rate_limit }),
            (error) =>
                error instanceof OpenAI.RateLimitError &&
                Number(error.headers.get('retry-after')) > 0,
        )
    })

    test('overloaded', async () => {
        await assert.rejects(
            client.chat.completions.create({ ...chat, model: faults.overloaded.openai }),
            OpenAI.InternalServerError,
        )
    })

    test('an error before any content is a status', async () => {
        await assert.rejects(
            client.chat.completions.create({ ...chat, model: faults.early_error, stream: true }),
            (error) => error instanceof OpenAI.InternalServerError && error.status === 502,
        )
    })

    test('a finish reason ends an answer without its marker', async () => {
        const ask = { ...chat, model: faults.no_end, stream: true }
        const chunks = await all(client.chat.completions.create(ask))
        const whole = await client.chat.completions.create(chat)
        assert.equal(text(chunks), whole.choices[0].message.content)
        assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
    })

    for (const fault of ['error_event', 'cut', 'reset']) {
        test(`a stream that breaks is an error, not an end: ${fault}`, async () => {
            const { seen, error } = await broken(() =>
                client.chat.completions.create({ ...chat, model: faults[fault], stream: true }),
            )
            assert.ok(error instanceof OpenAI.APIError, String(error))
            assert.ok(seen.length > 0)
            assert.ok(!choices(seen).some((choice) => choice.finish_reason))
        })
    }
})
