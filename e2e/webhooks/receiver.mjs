import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const message = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
    console.log(request.headers["webhook-id"], message.type, JSON.stringify(message.data));
    response.writeHead(204).end();
  } catch {
    console.log("refused");
    response.writeHead(400).end();
  }
});
server.listen(process.env.PORT, "127.0.0.1");
