package main

// chineseWords translates the words of the table; a test asks for every one of them.
var chineseWords = map[string]string{
	verdictMet:    "达到",
	verdictMissed: "未达到",

	"one gRPC send per message, 1 KiB, durable, 64 callers":                                    "每条消息一次 gRPC 发送，1 KiB，durable，64 个调用方",
	"16 messages per SendMessage, 1 KiB, durable, 64 callers":                                  "每个 SendMessage 16 条消息，1 KiB，durable，64 个调用方",
	"receive 32 + one AckMessage of 32, 16 callers, hot":                                       "接收 32 条 + 一次 32 条的 AckMessage，16 个调用方，热数据",
	"end to end at 1,000 msg/s, 16 long polls, durable":                                        "端到端，每秒 1,000 条，16 个长轮询，durable",
	"process start on an empty folder to the first acknowledged send, topic creation included": "在空目录上启动进程，到第一条发送得到确认（含创建 topic）",
	"recovery of 1 GiB of unsealed log, 1 KiB messages":                                        "恢复 1 GiB 未封存的日志，1 KiB 消息",
	"the same sends on RocketMQ 5, SYNC_FLUSH, in the same run":                                "同一次运行中，RocketMQ 5（SYNC_FLUSH）上的相同发送",

	"seal of 1 GiB, 64 queues, JSON-like bodies": "封存 1 GiB，64 个队列，类 JSON 消息体",
	"metadata written per sealed GiB":            "每封存 1 GiB 写入的元数据",
	"cold read of one queue by tiering/history, one core, S3 server on the other, in bytes of records": "用 tiering/history 冷读一个队列，占一个核，S3 服务器在另一个核，按记录字节计",

	"CPU with zstd / zstd alone":                              "zstd 封存的 CPU / 单独 zstd",
	"CPU without compression / upload + download of the file": "不压缩封存的 CPU / 文件的上传与下载",
	"PUTs":                                                  "PUT 次数",
	"metadata / records at 8 queues":                        "8 个队列时，元数据 / 记录",
	"metadata / records at 1,000 queues":                    "1,000 个队列时，元数据 / 记录",
	"codec none: history / range GETs":                      "不压缩：history / 范围 GET",
	"zstd: history / range GETs + zstd alone":               "zstd：history / 范围 GET + 单独 zstd",
	"rate / echo":                                           "速率 / echo",
	"messages / echo":                                       "消息数 / echo",
	"server CPU per message / echo":                         "每条消息的服务端 CPU / echo",
	"what durable costs against local":                      "durable 相对 local 的代价",
	"p50 / (round trip + fdatasync)":                        "p50 /（往返 + fdatasync）",
	"p99 / (round trip + fdatasync)":                        "p99 /（往返 + fdatasync）",
	"seconds to the first acknowledged send":                "到第一条确认的秒数",
	"idle anonymous memory":                                 "空闲时的匿名内存",
	"idle CPU, of one core":                                 "空闲时的 CPU（占一个核）",
	"from the start of the process to an acknowledged send": "从进程启动到一条发送得到确认",
	"rate / RocketMQ":                                       "速率 / RocketMQ",
	"server CPU per message / RocketMQ":                     "每条消息的服务端 CPU / RocketMQ",
}
