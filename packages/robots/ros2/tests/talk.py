"""One node hears what another says, in one process."""
import rclpy
from std_msgs.msg import String

rclpy.init()
talker, listener = rclpy.create_node("talker"), rclpy.create_node("listener")
heard = []
listener.create_subscription(String, "chatter", lambda m: heard.append(m.data), 10)
publisher = talker.create_publisher(String, "chatter", 10)
for _ in range(100):
    publisher.publish(String(data="hello"))
    rclpy.spin_once(listener, timeout_sec=0.1)
    if heard:
        break
assert heard and heard[0] == "hello", heard
rclpy.shutdown()
